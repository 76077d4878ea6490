"""Speed and memory, apart from the tests: `python -m tests.bench` lists what there is."""
