"""M2N2 on scikit-learn's digits: the released experiment of "Competition and Attraction Improve Model Fusion"."""
