"""A data set's archives to a folder of videos."""
