"""HTTP of every engine: access rules, probes, declared operations, problems; one server thread a process.

::

    view = EngineView("risk", "risk", counters)                                 # runtime.metrics
    app = EngineApp(view, RiskEngine.operations, ask, AccessRules(token))       # .app, .access
    listener = bind_socket("127.0.0.1", 8200, "risk")                           # .sockets
    server = HttpServer({"risk": (app, listener)}, counters)                    # .server
    server.start()
    ...
    server.drain()                                                              # what comes late gets 503
    server.stop()

Nothing is imported here: the command line reads the settings (`.config`) without a web server.
"""
