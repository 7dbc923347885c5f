"""pynetdicom as it comes, acknowledging all and keeping nothing: the ceiling of its own code.

``python discarding_scp.py PORT [PROCESSES]`` runs until it is told to stop.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.sop_class import ComputedRadiographyImageStorage
from pynetdicom.transport import ThreadedAssociationServer


class SharingServer(ThreadedAssociationServer):
    """Accepts at a socket that other processes share, each letting less busy ones go first."""

    shared: socket.socket
    service: int

    def server_bind(self) -> None:
        self.socket.close()
        self.socket = self.shared
        self.server_address = self.shared.getsockname()

    def server_activate(self) -> None:
        pass

    def get_request(self) -> Any:
        time.sleep(0.005 * len(self.active_associations))
        return super().get_request()

    def service_actions(self) -> None:
        super().service_actions()
        if os.getpid() != self.service and os.getppid() != self.service:
            os._exit(0)


def main(port: int, processes: int) -> None:
    """Serve in so many processes."""
    SharingServer.shared = socket.create_server(("127.0.0.1", port))
    SharingServer.shared.setblocking(False)
    SharingServer.service = os.getpid()
    for _ in range(processes - 1):
        if not os.fork():
            break
    entity = AE("DISCARD")
    entity.add_supported_context(ComputedRadiographyImageStorage, "1.2.840.10008.1.2.1")
    entity.maximum_pdu_size = 131072
    handlers: list[Any] = [(evt.EVT_C_STORE, lambda _: 0x0000)]
    server = SharingServer(
        entity,
        SharingServer.shared.getsockname(),
        "DISCARD",
        entity.supported_contexts,
        evt_handlers=handlers,
    )
    server.serve_forever(0.5)


if __name__ == "__main__":
    main(int(sys.argv[1]), int((sys.argv[2:] or ["1"])[0]))
