"""Django's PostgreSQL backend, but a connection that was kept is looked at without asking the server."""

import select

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """The module's one class, by the name that Django looks for."""

    def is_usable(self) -> bool:
        """Whether the server has not hung up meanwhile. Django asks `SELECT 1`, a round trip of every request.

        Between two requests a server has nothing to say: what is there to read is the end, or word of it.
        """
        if self.connection is None or self.connection.closed:
            return False
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return not poll.poll(0)
