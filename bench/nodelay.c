/* Switches Nagle's algorithm off in a program that does not do so itself: the fair reference for ImageMagick's own pixel
 * server, whose clients wait 40 ms a row for a delayed acknowledgement.
 *   cc -shared -fPIC -O2 -o nodelay.so nodelay.c -ldl;  LD_PRELOAD=./nodelay.so convert ...
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

int connect(int fd, const struct sockaddr *address, socklen_t length) {
  static int (*real)(int, const struct sockaddr *, socklen_t);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "connect");
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return real(fd, address, length);
}
