/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/x86/irqchip_state.h"

#include <linux/kvm.h>

#include "base/util.h"
#include "vmm/kvm.h"
#include "vmm/x86/vm.h"

/* A channel that was never programmed: what KVM has at reset. */
#define PIT_MODE_NONE 0xff

static int irqchip_save(const void *obj, struct state_writer *w, struct error *err)
{
	const struct x86_irqchip *c = obj;
	struct kvm_irqchip chip = {.chip_id = c->chip_id};
	int r = kvm_ioctl(c->vm_fd, KVM_GET_IRQCHIP, &chip, "KVM_GET_IRQCHIP", err);

	if (r < 0)
		return r;
	if (c->chip_id == KVM_IRQCHIP_IOAPIC)
		state_put_bytes(w, "registers", &chip.chip.ioapic, sizeof(chip.chip.ioapic));
	else
		state_put_bytes(w, "registers", &chip.chip.pic, sizeof(chip.chip.pic));
	return 0;
}

static int irqchip_set(const struct x86_irqchip *c, struct kvm_irqchip *chip, struct error *err)
{
	return kvm_ioctl(c->vm_fd, KVM_SET_IRQCHIP, chip, "KVM_SET_IRQCHIP", err);
}

static int pic_load(void *obj, uint32_t version _unused_, struct state_reader *r,
		    enum state_mode mode, struct error *err)
{
	const struct x86_irqchip *c = obj;
	struct kvm_irqchip chip = {.chip_id = c->chip_id};
	struct kvm_pic_state *pic = &chip.chip.pic;
	int ret;

	state_get_bytes(r, "registers", pic, sizeof(*pic));
	state_require(r, pic->init_state <= 3, "registers: initialisation is in no known step");
	state_require(r, pic->priority_add <= 7, "registers: no such priority");
	ret = state_reader_done(r, err);
	return ret < 0 || mode == STATE_CHECK ? ret : irqchip_set(c, &chip, err);
}

/*
 * KVM offers what is in the IOAPIC's request register to the LAPICs while it sets the IOAPIC; these
 * have been loaded before, so that nothing is overwritten.
 */
static int ioapic_load(void *obj, uint32_t version _unused_, struct state_reader *r,
		       enum state_mode mode, struct error *err)
{
	const struct x86_irqchip *c = obj;
	struct kvm_irqchip chip = {.chip_id = c->chip_id};
	struct kvm_ioapic_state *ioapic = &chip.chip.ioapic;
	int ret;

	state_get_bytes(r, "registers", ioapic, sizeof(*ioapic));
	state_require(r, ioapic->irr >> KVM_IOAPIC_NUM_PINS == 0,
		      "registers: a request of a pin that is not there");
	ret = state_reader_done(r, err);
	return ret < 0 || mode == STATE_CHECK ? ret : irqchip_set(c, &chip, err);
}

static int pit_save(const void *obj, struct state_writer *w, struct error *err)
{
	const struct arch_vm *vm = obj;
	struct kvm_pit_state2 pit = {0};
	int r = kvm_ioctl(vm->vm_fd, KVM_GET_PIT2, &pit, "KVM_GET_PIT2", err);

	if (r < 0)
		return r;
	state_put_bytes(w, "registers", &pit, sizeof(pit));
	return 0;
}

static int pit_load(void *obj, uint32_t version _unused_, struct state_reader *r,
		    enum state_mode mode, struct error *err)
{
	const struct arch_vm *vm = obj;
	struct kvm_pit_state2 pit;
	int ret;

	state_get_bytes(r, "registers", &pit, sizeof(pit));
	for (unsigned int i = 0; i < ARRAY_SIZE(pit.channels); i++) {
		const struct kvm_pit_channel_state *c = &pit.channels[i];

		state_require(r,
			      c->count <= 0x10000 && c->rw_mode <= 3 &&
				      (c->mode <= 5 || c->mode == PIT_MODE_NONE),
			      "registers: channel %u is in no possible state", i);
	}
	state_require(
		r, (pit.flags & ~(KVM_PIT_FLAGS_HPET_LEGACY | KVM_PIT_FLAGS_SPEAKER_DATA_ON)) == 0,
		"registers: unknown flags");
	ret = state_reader_done(r, err);
	if (ret < 0 || mode == STATE_CHECK)
		return ret;
	return kvm_ioctl(vm->vm_fd, KVM_SET_PIT2, &pit, "KVM_SET_PIT2", err);
}

const struct state_ops x86_pic_state_ops = {
	.name = "pic", .version = 1, .min_version = 1, .save = irqchip_save, .load = pic_load};
const struct state_ops x86_ioapic_state_ops = {.name = "ioapic",
					       .version = 1,
					       .min_version = 1,
					       .save = irqchip_save,
					       .load = ioapic_load};
const struct state_ops x86_pit_state_ops = {
	.name = "pit", .version = 1, .min_version = 1, .save = pit_save, .load = pit_load};
