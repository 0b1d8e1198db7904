"""The operators' rows in the registry, one file per family: names, parameters, genes. No torch here."""
