"""The other side of the XML-RPC suite: Python's own client and server, and Twisted's.

    remote_calls.py client-python URL     calls our methods, prints `done`
    remote_calls.py client-twisted URL    the same with Twisted
    remote_calls.py server-python         prints `port N`, and answers
    remote_calls.py server-twisted        the same with Twisted
"""

import datetime
import sys
import xmlrpc.client

VALUES = [
    1,
    -(2**31),
    True,
    "text & <markup> näh ☃\n",
    "",
    2.5,
    None,
    b"\x00bytes\xff",
    datetime.datetime(1998, 7, 17, 14, 8, 55),
    [1, ["two", [3.0]]],
    {"a": {"b": [None]}, "": "empty"},
]


def client_python(url):
    server = xmlrpc.client.ServerProxy(url, allow_none=True, use_builtin_types=True)
    assert server.echo(*VALUES) == VALUES, server.echo(*VALUES)
    assert server.later() == "at last"
    assert "echo" in server.system.listMethods()
    assert server.system.methodHelp("echo") == "answers what it is told"
    assert server.system.methodSignature("echo") == [["array"]]
    for method, code in [("fault", 7), ("fail", 8002), ("nothing", 8001)]:
        try:
            getattr(server, method)()
        except xmlrpc.client.Fault as fault:
            assert fault.faultCode == code, fault
        else:
            raise AssertionError(method)
    print("done", flush=True)


def client_twisted(url):
    from twisted.internet import defer, reactor
    from twisted.web.xmlrpc import Fault, Proxy

    async def talk():
        proxy = Proxy(url.encode(), allowNone=True, useDateTime=True)
        values = [value for value in VALUES if not isinstance(value, bytes)]
        assert await proxy.callRemote("echo", *values) == values
        assert await proxy.callRemote("later") == "at last"
        try:
            await proxy.callRemote("fault")
        except Fault as fault:
            assert fault.faultCode == 7 and fault.faultString == "as you wish", fault
        else:
            raise AssertionError("no fault")
        print("done", flush=True)

    def over(result):
        if result is not None:
            result.printTraceback()
        reactor.stop()

    defer.ensureDeferred(talk()).addBoth(over)
    reactor.run()


def server_python():
    from xmlrpc.server import SimpleXMLRPCServer

    server = SimpleXMLRPCServer(
        ("127.0.0.1", 0), allow_none=True, use_builtin_types=True, logRequests=False
    )
    server.register_introspection_functions()

    def echo(*values):
        return list(values)

    def fault():
        raise xmlrpc.client.Fault(7, "as you wish")

    server.register_function(echo)
    server.register_function(fault)
    print("port", server.server_address[1], flush=True)
    server.serve_forever()


def server_twisted():
    from twisted.internet import reactor, task
    from twisted.web.server import Site
    from twisted.web.xmlrpc import XMLRPC, Fault, addIntrospection

    class Methods(XMLRPC):
        def xmlrpc_echo(self, *values):
            return list(values)

        def xmlrpc_later(self):
            return task.deferLater(reactor, 0.05, lambda: "at last")

        def xmlrpc_fault(self):
            raise Fault(7, "as you wish")

    methods = Methods(allowNone=True, useDateTime=True)
    addIntrospection(methods)
    port = reactor.listenTCP(0, Site(methods), interface="127.0.0.1")
    print("port", port.getHost().port, flush=True)
    reactor.run()


{
    "client-python": client_python,
    "client-twisted": client_twisted,
    "server-python": server_python,
    "server-twisted": server_twisted,
}[sys.argv[1]](*sys.argv[2:])
