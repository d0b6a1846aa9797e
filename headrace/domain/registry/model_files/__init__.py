"""Models in a file of their own: ONNX, LightGBM, XGBoost, objects of scikit-learn; what they take, and their graphs."""
