"""Invertible maps, independent of photos and colour.

Every map is a :class:`Transform` with ``forward(x, condition) -> (z, log_det)`` and ``inverse(z, condition)
-> (x, log_det)``, where ``log_det`` is log |det d(output)/d(input)| of that direction, one number per sample,
shape (N,). :class:`MultiScaleFlow` returns latent codes and log-dets by level.
"""

from cinn_colorize.flow.autoregressive import AutoregressivePass as AutoregressivePass
from cinn_colorize.flow.autoregressive import Guidance as Guidance
from cinn_colorize.flow.coupling import AffineCoupling as AffineCoupling
from cinn_colorize.flow.coupling import ConvSubnet as ConvSubnet
from cinn_colorize.flow.coupling import LinearSubnet as LinearSubnet
from cinn_colorize.flow.coupling import soft_clamp as soft_clamp
from cinn_colorize.flow.details import BoundedDetails as BoundedDetails
from cinn_colorize.flow.details import BoundedMean as BoundedMean
from cinn_colorize.flow.details import GuidedMean as GuidedMean
from cinn_colorize.flow.details import GuidedShift as GuidedShift
from cinn_colorize.flow.details import Interval as Interval
from cinn_colorize.flow.details import LeakyClamp as LeakyClamp
from cinn_colorize.flow.downsampling import HaarDownsampling as HaarDownsampling
from cinn_colorize.flow.downsampling import Squeeze as Squeeze
from cinn_colorize.flow.downsampling import haar as haar
from cinn_colorize.flow.downsampling import inverse_haar as inverse_haar
from cinn_colorize.flow.elementwise import SinhMap as SinhMap
from cinn_colorize.flow.mixing import OrthogonalMixing as OrthogonalMixing
from cinn_colorize.flow.mixing import Permutation as Permutation
from cinn_colorize.flow.multiscale import BASE as BASE
from cinn_colorize.flow.multiscale import MultiScaleFlow as MultiScaleFlow
from cinn_colorize.flow.sequence import Sequence as Sequence
from cinn_colorize.flow.transform import Transform as Transform
