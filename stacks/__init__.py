"""What exists in the account: settings, storage, the layer, and the pipeline in the order the data travels."""
