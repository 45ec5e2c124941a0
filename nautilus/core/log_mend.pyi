from nautilus.core.eventlog import EventLogWriter

class LogMend:
    log: EventLogWriter
    logged: int
    def __init__(self, log: EventLogWriter) -> None: ...
