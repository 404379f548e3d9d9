"""The benchmarks of the data's way: input data to a disk, files and archives to S3, each beside peers in the same run."""
