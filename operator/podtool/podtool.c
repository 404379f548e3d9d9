/*
 * podtool: the few things a job's pod needs done without a shell, a library or a runtime.
 *
 *   podtool noop         exit 0: it works
 *   podtool wait         wait for SIGTERM; run in the user's image, it shows that the image can be had
 *   podtool copy TO      copy this program to TO, mode 0755, so that other images can run it from a volume
 *   podtool hold FILE    wait until FILE exists (or SIGTERM), then exit 0: keeps the pod alive in a few KiB
 *
 * Static, so that it runs in any image, also one without a libc.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const struct timespec POLL = {0, 100 * 1000 * 1000};

static void leave(int signal) {
  (void)signal;
  _exit(0);
}

static int fail(const char *what) {
  fprintf(stderr, "podtool: %s: %s\n", what, strerror(errno));
  return 1;
}

static int copy_self(const char *to) {
  char part[4096];
  struct stat self;
  if (snprintf(part, sizeof part, "%s.part", to) >= (int)sizeof part) {
    errno = ENAMETOOLONG;
    return fail(to);
  }
  int in = open("/proc/self/exe", O_RDONLY);
  int out = open(part, O_WRONLY | O_CREAT | O_TRUNC, 0755);
  if (in < 0 || out < 0 || fstat(in, &self) < 0) return fail(part);
  for (off_t at = 0; at < self.st_size;)
    if (sendfile(out, in, &at, self.st_size - at) <= 0) return fail(part);
  /* The umask must not take the execute bit away, and a reader must never see half a program. */
  if (fchmod(out, 0755) < 0 || close(out) < 0 || rename(part, to) < 0) return fail(to);
  return 0;
}

static int hold(const char *file) {
  struct stat ignored;
  while (stat(file, &ignored) < 0) nanosleep(&POLL, NULL);
  return 0;
}

int main(int argc, char **argv) {
  const char *verb = argc > 1 ? argv[1] : "";
  signal(SIGTERM, leave);
  signal(SIGINT, leave);
  if (!strcmp(verb, "noop")) return 0;
  if (!strcmp(verb, "wait"))
    for (;;) pause();
  if (argc == 3 && !strcmp(verb, "copy")) return copy_self(argv[2]);
  if (argc == 3 && !strcmp(verb, "hold")) return hold(argv[2]);
  fprintf(stderr, "usage: podtool noop | wait | copy TO | hold FILE\n");
  return 2;
}
