"""From what a database ran to the indexes worth having, each proved, as a spec to review."""
