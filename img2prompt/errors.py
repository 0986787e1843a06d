"""The errors this package raises on purpose.

Each message says what is wrong, with which file, and what to do next, so that a
page or a command line can show it as it is.
"""


class Img2PromptError(Exception):
    """Base class of everything raised on purpose."""


class ImageError(Img2PromptError):
    """These bytes cannot become a picture."""


class WeightsError(Img2PromptError):
    """Model weights are missing, damaged or do not fit."""


class ConfigError(Img2PromptError):
    """A setting or option has a value that cannot be used."""


class EndpointError(Img2PromptError):
    """A model server cannot be reached, or does not let us in."""


class AnswerError(EndpointError):
    """What a model server answers about one picture cannot be used; about another it may be."""


class BusyError(Img2PromptError):
    """Too many wait for the model already; later there is room."""


class DataError(Img2PromptError):
    """A data set (CSV, folder, archive) cannot be read or makes no sense."""


class HistoryError(Img2PromptError):
    """The database of earlier posts cannot be opened, read or written."""
