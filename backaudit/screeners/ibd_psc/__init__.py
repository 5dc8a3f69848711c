"""IBD-PSC: does the prediction survive when the last layers of the network are amplified?"""

from backaudit.screeners.ibd_psc.scorer import IBDPSCScorer
from backaudit.screeners.ibd_psc.screener import IBDPSC

__all__ = ["IBDPSC", "IBDPSCScorer"]
