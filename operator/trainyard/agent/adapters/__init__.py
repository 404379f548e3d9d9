"""The world: S3, files, HTTP, clocks. Each client library is named in one module here and nowhere else."""
