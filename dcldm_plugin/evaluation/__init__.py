"""How good the sounds of a model are, in numbers: judges, distances, reports, and a listening test."""
