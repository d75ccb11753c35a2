/* SPDX-License-Identifier: Apache-2.0 */
/* FADT: ACPI 6.5, 5.2.9. Fixed hardware, not hardware-reduced. */
#include <errno.h>
#include <string.h>

#include "vmm/x86/acpi_table.h"
#include "vmm/x86/layout.h"

/* Generic Address Structure: 5.2.3.2. */
struct gas {
	uint8_t space, width, offset, access;
	uint64_t address;
} _packed_;

struct fadt {
	struct acpi_header header;
	uint32_t firmware_ctrl, dsdt;
	uint8_t reserved0, preferred_pm_profile;
	uint16_t sci_int;
	uint32_t smi_cmd;
	uint8_t acpi_enable, acpi_disable, s4bios_req, pstate_cnt;
	uint32_t pm1a_evt_blk, pm1b_evt_blk, pm1a_cnt_blk, pm1b_cnt_blk;
	uint32_t pm2_cnt_blk, pm_tmr_blk, gpe0_blk, gpe1_blk;
	uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len;
	uint8_t gpe0_blk_len, gpe1_blk_len, gpe1_base, cst_cnt;
	uint16_t p_lvl2_lat, p_lvl3_lat, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alrm, mon_alrm, century;
	uint16_t iapc_boot_arch;
	uint8_t reserved1;
	uint32_t flags;
	struct gas reset_reg;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor_version;
	uint64_t x_firmware_ctrl, x_dsdt;
	struct gas x_pm1a_evt_blk, x_pm1b_evt_blk, x_pm1a_cnt_blk, x_pm1b_cnt_blk;
	struct gas x_pm2_cnt_blk, x_pm_tmr_blk, x_gpe0_blk, x_gpe1_blk;
	struct gas sleep_control_reg, sleep_status_reg;
	uint64_t hypervisor_vendor;
} _packed_;

_Static_assert(sizeof(struct fadt) == 276, "ACPI 6.5, table 5.9");

#define FADT_REVISION 6
#define FADT_MINOR    5

#define SPACE_IO     1
#define ACCESS_BYTE  1
#define ACCESS_WORD  2
#define ACCESS_DWORD 3

/* Flags: table 5.10. */
#define WBINVD	      (1U << 0)
#define PROC_C1	      (1U << 2)
#define SLP_BUTTON    (1U << 5) /* no fixed sleep button; the power button (bit 4 clear) is */
#define TMR_VAL_EXT   (1U << 8)
#define RESET_REG_SUP (1U << 10)
#define HEADLESS      (1U << 12)

/* IAPC_BOOT_ARCH: table 5.11. Bit 1 clear: no 8042; bit 5 clear: there is a CMOS RTC. */
#define LEGACY_DEVICES	(1U << 0) /* the serial port */
#define VGA_NOT_PRESENT (1U << 2)
#define NO_ASPM		(1U << 4)

/* Above these, C2 and C3 are not there. */
#define NO_C2_LATENCY 101
#define NO_C3_LATENCY 1001

#define PM1_EVT_LEN 4
#define PM1_CNT_LEN 2
#define PM_TMR_LEN  4
#define GPE0_LEN    16

static struct gas io_gas(uint16_t port, unsigned int bytes, uint8_t access)
{
	return (struct gas){.space = SPACE_IO,
			    .width = (uint8_t)(bytes * 8),
			    .access = access,
			    .address = port};
}

int acpi_build_fadt(uint32_t facs, uint32_t dsdt, uint8_t *buf, size_t size, size_t *ret_used)
{
	struct fadt fadt = {
		.firmware_ctrl = facs, /* X_FIRMWARE_CTRL stays 0: one of the two, never both */
		.dsdt = dsdt,
		.x_dsdt = dsdt,
		.sci_int = GSI_SCI,
		.smi_cmd = 0, /* ACPI mode from the start: SCI_EN is always 1 */
		.pm1a_evt_blk = PORT_PM1_EVT,
		.pm1a_cnt_blk = PORT_PM1_CNT,
		.pm_tmr_blk = PORT_PM_TMR,
		.gpe0_blk = PORT_GPE0,
		.pm1_evt_len = PM1_EVT_LEN,
		.pm1_cnt_len = PM1_CNT_LEN,
		.pm_tmr_len = PM_TMR_LEN,
		.gpe0_blk_len = GPE0_LEN,
		.p_lvl2_lat = NO_C2_LATENCY,
		.p_lvl3_lat = NO_C3_LATENCY,
		.century = ACPI_RTC_CENTURY,
		.iapc_boot_arch = LEGACY_DEVICES | VGA_NOT_PRESENT | NO_ASPM,
		.flags = WBINVD | PROC_C1 | SLP_BUTTON | TMR_VAL_EXT | RESET_REG_SUP | HEADLESS,
		.reset_reg = io_gas(PORT_RESET, 1, ACCESS_BYTE),
		.reset_value = PORT_RESET_VALUE,
		.minor_version = FADT_MINOR,
		.x_pm1a_evt_blk = io_gas(PORT_PM1_EVT, PM1_EVT_LEN, ACCESS_WORD),
		.x_pm1a_cnt_blk = io_gas(PORT_PM1_CNT, PM1_CNT_LEN, ACCESS_WORD),
		.x_pm_tmr_blk = io_gas(PORT_PM_TMR, PM_TMR_LEN, ACCESS_DWORD),
		.x_gpe0_blk = io_gas(PORT_GPE0, GPE0_LEN, ACCESS_BYTE),
	};

	if (size < sizeof(fadt))
		return -ENOSPC;
	acpi_header_init(&fadt.header, "FACP", sizeof(fadt), FADT_REVISION);
	memcpy(&fadt.hypervisor_vendor, "HOLDFAST", sizeof(fadt.hypervisor_vendor));
	fadt.header.checksum = acpi_checksum(&fadt, sizeof(fadt));
	memcpy(buf, &fadt, sizeof(fadt));
	*ret_used = sizeof(fadt);
	return 0;
}
