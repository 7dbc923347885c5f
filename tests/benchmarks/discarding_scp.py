"""pynetdicom as it comes, acknowledging all and keeping nothing: the ceiling of its own code.

``python discarding_scp.py PORT`` runs until it is told to stop.
"""

from __future__ import annotations

import sys

from pynetdicom import AE, evt
from pynetdicom.sop_class import ComputedRadiographyImageStorage

if __name__ == "__main__":
    entity = AE("DISCARD")
    entity.add_supported_context(ComputedRadiographyImageStorage, "1.2.840.10008.1.2.1")
    entity.maximum_pdu_size = 131072
    entity.start_server(
        ("127.0.0.1", int(sys.argv[1])),
        evt_handlers=[(evt.EVT_C_STORE, lambda _: 0x0000)],
    )
