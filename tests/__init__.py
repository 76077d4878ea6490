"""The tests of nbflow. A package, so that `python -m tests.bench` finds this folder and no other one of that name."""
