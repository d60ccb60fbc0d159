// kronecker
