"""The stages of a run, each a record of what it reads, makes and costs (:class:`mofore.pipeline.stage.Stage`)."""
