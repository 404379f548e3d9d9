"""The operator: watches TrainingJobs, makes their pods, tells what became of them."""
