/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/x86/vcpu_state.h"

#include "base/log.h"
#include "base/util.h"
#include "vmm/x86/vcpu_image.h"
#include "vmm/x86/vm.h"

static int vcpu_save(const void *obj, struct state_writer *w, struct error *err)
{
	const struct x86_vcpu *vcpu = obj;
	_cleanup_(vcpu_image_freep) struct vcpu_image *image = NULL;
	int r = vcpu_image_new(vcpu->vm->xsave_size, &image, err);

	if (r < 0)
		return r;
	image->cpuid = vcpu->cpuid;
	r = vcpu_image_get(vcpu->fd, &vcpu->vm->msrs, image, err);
	if (r == 0)
		vcpu_image_write(image, w);
	return r;
}

/* The guest goes on even so: it may never use what is gone. But whoever wonders later must know. */
static void warn_of_lost_features(const struct x86_vcpu *vcpu, const struct vcpu_image *image)
{
	char lost[64];

	if (vcpu->index == 0 &&
	    cpuid_find_lost(&image->cpuid, &vcpu->vm->supported, lost, sizeof(lost)))
		log_warning("the guest was told of a CPU feature that this host kernel's KVM does "
			    "not offer any more (CPUID %s)",
			    lost);
}

static int vcpu_load(void *obj, uint32_t version _unused_, struct state_reader *r,
		     enum state_mode mode, struct error *err)
{
	struct x86_vcpu *vcpu = obj;
	_cleanup_(vcpu_image_freep) struct vcpu_image *image = NULL;
	int ret = vcpu_image_new(vcpu->vm->xsave_size, &image, err);

	if (ret < 0)
		return ret;
	vcpu_image_read(r, image);
	ret = state_reader_done(r, err);
	if (ret < 0 || mode == STATE_CHECK)
		return ret;
	warn_of_lost_features(vcpu, image);
	ret = vcpu_image_set(vcpu->fd, image, err);
	if (ret < 0)
		return error_prefix(err, "vCPU %u: ", vcpu->index), ret;
	vcpu->cpuid = image->cpuid;
	return 0;
}

const struct state_ops x86_vcpu_state_ops = {
	.name = "vcpu", .version = 1, .min_version = 1, .save = vcpu_save, .load = vcpu_load};
