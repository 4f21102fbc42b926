"""What can go wrong for a reason that a person can mend."""


class CinnError(Exception):
    """Base of all of them: the message is one line that names the file and says what to do."""


class PhotoError(CinnError):
    """A photo cannot be read, or a picture cannot be written."""


class DiskFullError(PhotoError):
    """A picture cannot be written since the disk is full; the next one could not either."""


class WeightsError(CinnError):
    """Weights cannot be had or used."""


class LatentError(CinnError):
    """Latent codes cannot be read or written, or belong to something else."""


class DataError(CinnError):
    """A data set or a checkpoint cannot be used."""


class DivergedError(CinnError):
    """A training run left the finite numbers."""


class WorkerError(CinnError):
    """A process that a batch needs is gone."""


class EngineError(CinnError):
    """The engine that computes the network cannot do what is asked of it."""
