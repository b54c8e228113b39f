"""Reports: folders, pages, tables, plots and sheets of pictures for people to look at."""
