"""Events made up by a seeded process, for demonstrations, tests and benchmarks. Knows no service."""
