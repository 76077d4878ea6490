"""Records as pictures: graphs, progress, colours. Pure: no database, no engine."""
