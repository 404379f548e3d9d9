module trainyard.dev/s3fetch

go 1.24
