from cinn_colorize.colorizer import Colorization as Colorization
from cinn_colorize.colorizer import Colorizer as Colorizer
from cinn_colorize.imaging.photo import read_recipe as read_recipe
from cinn_colorize.models import load_model as load_model

__version__: str
