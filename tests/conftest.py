"""For all tests. Property tests have no deadline: a busy machine is no defect, and speed is proved in benchmarks."""

from hypothesis import settings

settings.register_profile("specification", deadline=None)
settings.load_profile("specification")
