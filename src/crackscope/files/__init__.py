"""Files: images, archives and tables are read, results are written whole or not at all, data sets are downloaded."""
