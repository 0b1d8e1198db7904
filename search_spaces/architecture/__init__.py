"""One answer per checkpoint about its architecture, asked of transformers on the meta device."""
