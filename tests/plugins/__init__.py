"""What pytest loads for every test, before any conftest."""
