"""A way to a service that breaks where a test wants it to."""

import contextlib
import ctypes
import os
import socket
import struct
import threading

CLONE_NEWNET = 0x40000000
UP, DOWN = 0, 1  # from the client, and to it
BLOCK_BYTES = 64 * 1024


class Connection:
    def __init__(self, client: socket.socket, service: socket.socket):
        self.sockets = (client, service)
        self.bytes = [0, 0]  # that went UP and DOWN
        self._lock = threading.Lock()
        self._open = True

    def close(self, reset=False):
        """Ends it at both ends, by a reset (RST) where that is asked for."""
        with self._lock:
            if not self._open:
                return
            self._open = False
            for end in self.sockets:
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # A thread that waits for bytes would keep the socket from being closed.
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
                end.close()


class CuttingProxy:
    """Listens on a port of the loopback of a network namespace, and connects from there to the target."""

    def __init__(self, namespace: str, port: int, target: tuple):
        self.address = f"127.0.0.1:{port}"
        self.connections: list[Connection] = []
        self._target = target
        self._lock = threading.Lock()
        self._cuts = ([], [])
        self._failure = None
        self._threads = []
        ready = threading.Event()
        self._listener = None
        self._start(self._accept, namespace, port, ready)
        assert ready.wait(10) and self._listener, self._failure

    def cut_after(self, direction: int, *sizes: int):
        """Cuts the connection that has the byte after `size` more of them, counted over all connections; then again."""
        with self._lock:
            self._cuts[direction][:] = sizes

    @property
    def cuts_left(self) -> int:
        with self._lock:
            return len(self._cuts[UP]) + len(self._cuts[DOWN])

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        for connection in self.connections:
            connection.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        self._listener.close()
        assert self._failure is None, self._failure

    def _start(self, function, *arguments):
        thread = threading.Thread(target=self._run, args=(function, *arguments))
        self._threads.append(thread)
        thread.start()

    def _run(self, function, *arguments):
        try:
            function(*arguments)
        except OSError:
            pass  # the end of a connection, or of the test
        except BaseException as failure:
            self._failure = failure

    def _accept(self, namespace, port, ready):
        try:
            # Of this thread alone: sockets stay in the namespace in which they were made.
            descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(descriptor, CLONE_NEWNET) != 0:
                raise RuntimeError(os.strerror(ctypes.get_errno()))
            os.close(descriptor)
            self._listener = socket.create_server(("127.0.0.1", port))
        finally:
            ready.set()
        while True:
            client, _ = self._listener.accept()
            connection = Connection(client, socket.create_connection(self._target, 10))
            self.connections.append(connection)
            for direction in (UP, DOWN):
                self._start(self._pass_on, connection, direction)

    def _pass_on(self, connection, direction):
        source, target = connection.sockets if direction == UP else reversed(connection.sockets)
        source.settimeout(None)
        try:
            while block := source.recv(BLOCK_BYTES):
                allowed, cut = self._allowed(direction, len(block))
                connection.bytes[direction] += allowed
                target.sendall(block[:allowed])
                if cut:
                    connection.close(reset=True)
                    return
        finally:
            connection.close()

    def _allowed(self, direction, size):
        """How many of these bytes may pass, and whether the connection is to be cut behind them."""
        with self._lock:
            cuts = self._cuts[direction]
            if not cuts or cuts[0] > size:
                if cuts:
                    cuts[0] -= size
                return size, False
            return cuts.pop(0), True
