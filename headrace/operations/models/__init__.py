"""Models trained from the topics, and the packages of the model store: listed, checked, added."""
