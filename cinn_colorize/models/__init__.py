"""The models: one file each, and the registry that names them."""

from cinn_colorize.models.registry import DEFAULT as DEFAULT
from cinn_colorize.models.registry import MODELS as MODELS
from cinn_colorize.models.registry import ModelInfo as ModelInfo
from cinn_colorize.models.registry import PhotoModelInfo as PhotoModelInfo
from cinn_colorize.models.weights import Loaded as Loaded
from cinn_colorize.models.weights import find_weights as find_weights
from cinn_colorize.models.weights import load_model as load_model
from cinn_colorize.models.weights import loaded_from as loaded_from
from cinn_colorize.models.weights import model_class as model_class
from cinn_colorize.models.weights import own_weights as own_weights
from cinn_colorize.models.weights import save_model as save_model
