/* SPDX-License-Identifier: Apache-2.0 */
/* ioctl() of a program whose test has none of its own. */
#include "tests/unit/vhost_fake.h"

int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __real_ioctl(int fd, unsigned long request, void *arg);

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	return (vhost_fake_knows(request) ? vhost_fake_ioctl : __real_ioctl)(fd, request, arg);
}
