"""What a training needs of each GPU's memory, added up before any GPU is held."""
