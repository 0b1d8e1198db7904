"""What can be searched: genome -> recipe; the classes are on the face of `search_spaces`, which imports them lazily."""
