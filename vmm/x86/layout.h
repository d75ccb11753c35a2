/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where everything is in a guest's physical address space and I/O ports. Part of the machine's
 * identity: a resumed guest relies on every number here, so none may change within a state version.
 */
#ifndef HOLDFAST_VMM_X86_LAYOUT_H
#define HOLDFAST_VMM_X86_LAYOUT_H

/* Low memory, set up for the kernel's entry. */
#define GDT_ADDR	0x500ULL
#define BOOT_STACK_ADDR 0x8ff0ULL
#define ZERO_PAGE_ADDR	0x7000ULL
#define PVH_INFO_ADDR	0x6000ULL
#define PML4_ADDR	0x9000ULL
#define PDPT_ADDR	0xa000ULL
#define PD_ADDR		0xb000ULL /* four pages: 4 GiB identity-mapped with 2 MiB pages */
#define CMDLINE_ADDR	0x20000ULL
#define EBDA_ADDR	0x9fc00ULL
#define ACPI_TABLES_ADDR \
	0xe0000ULL /* RSDP first; searched by OSes from 0xe0000 (ACPI 6.5, 5.2.5.1) */
#define ACPI_TABLES_END 0x100000ULL
#define KERNEL_ADDR	0x100000ULL

/* MMIO below 4 GiB. */
#define MMIO32_ADDR   0xc0000000ULL /* PCI BARs */
#define MMIO32_END    0xe0000000ULL
#define PCI_ECAM_ADDR 0xe0000000ULL /* 256 buses of 1 MiB: PCIe 5.0, 7.2.2 */
#define PCI_ECAM_SIZE 0x10000000ULL
/* The only bus there is. Linux looks for peer bridges on every one that the MCFG names, by 64
 * accesses to ports that end in this program. */
#define PCI_LAST_BUS 0
#define IOAPIC_ADDR  0xfec00000ULL
#define LAPIC_ADDR   0xfee00000ULL
#define KVM_IDENTITY_ADDR                                                                         \
	0xfeffc000ULL /* KVM_SET_IDENTITY_MAP_ADDR, one page; KVM_SET_TSS_ADDR, three pages after \
		       */
#define KVM_TSS_ADDR 0xfeffd000ULL

/* I/O ports. */
#define PORT_UART0	    0x3f8
#define PORT_RTC	    0x70
#define PORT_RESET	    0xcf9 /* FADT RESET_REG, value PORT_RESET_VALUE */
#define PORT_RESET_VALUE    0x06
#define PORT_KBD_RESET	    0x64   /* i8042 command port: 0xfe pulses the reset line */
#define PCI_IO_FIRST	    0x1000 /* I/O BARs, above everything that a PC may have */
#define PCI_IO_END	    0x10000
#define PORT_PM1_EVT	    0x600 /* 4 bytes: PM1 status, PM1 enable (ACPI 6.5, 4.8.3.1) */
#define PORT_PM1_CNT	    0x604 /* 2 bytes */
#define PORT_PM_TMR	    0x608 /* 4 bytes, 3.579545 MHz, 32 bits */
#define PORT_GPE0	    0x620 /* 16 bytes */
#define PORT_PCI_HOTPLUG    0x640 /* 12 bytes: devices/pci/pci_hotplug.h */
#define PORT_MEMORY_HOTPLUG 0x700 /* 260 bytes: devices/memory_hotplug.h */

/* General purpose events. */
#define ACPI_GPE_PCI_HOTPLUG	1
#define ACPI_GPE_MEMORY_HOTPLUG 2

/* Global system interrupts. */
#define GSI_UART0     4
#define GSI_RTC	      8
#define GSI_SCI	      9
#define GSI_COUNT     24 /* pins of the IOAPIC */
#define GSI_PCI_FIRST 16 /* INTx, swizzled over four pins */

#endif
