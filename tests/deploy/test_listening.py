"""The port of a server."""

import socket

from mmer_tf.deploy.listening import listening_socket


def test_answers_are_sent_at_once():
    with (
        listening_socket("127.0.0.1", 0) as listener,
        socket.create_connection(listener.getsockname()),
    ):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
