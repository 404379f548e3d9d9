module trainyard.dev/hack/quicks3

go 1.26.0
