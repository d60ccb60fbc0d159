// batch_norm
