from __future__ import annotations

import resource

import pytest

from nbflow.values.mapped import map_private


@pytest.mark.parametrize("size", [0, 10, 2**20], ids=["empty", "read", "mapped"])
def test_changes_stay_in_the_memory(tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(b"a" * size)
    memory = map_private(path)
    memory[:1] = b"b"[:size]
    assert len(memory) == size
    assert path.read_bytes() == b"a" * size
    assert bytes(map_private(path)) == b"a" * size


def test_more_files_can_be_held_than_a_process_may_open(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(2**18))
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = [map_private(path) for _ in range(min(most + 1, 1500))]
    assert {memory.nbytes for memory in held} == {2**18}
    with path.open("rb"):
        pass
