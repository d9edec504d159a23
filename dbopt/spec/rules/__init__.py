"""The rules of lint by subject. Each takes one entry, or all of them, and yields findings; none touches a server."""
