"""PostgreSQL's server log as a source of statements: what took how long, and auto_explain's plans.

csvlog, jsonlog and stderr (syslog and container logs too), compressed or not, told apart by what they look like. The
log holds values; what leaves this package does not.
https://www.postgresql.org/docs/current/runtime-config-logging.html
"""

from dbopt.workload.log.reading import read
from dbopt.workload.log.values import LogStatement, LogWorkload

__all__ = ["LogStatement", "LogWorkload", "read"]
