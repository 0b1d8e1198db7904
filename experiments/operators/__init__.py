"""Every merge operator, as it comes and tuned, on families of models; and which campaign to begin with."""
