"""The base of the models that connectors declare."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A model whose validator is built at its first use, for a process uses few of the components that it offers."""

    model_config = ConfigDict(defer_build=True)
