/* Finding cards, and what each of them is. */
#include "stand_in.h"

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count)
{
    *count = count_cards();
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCount(unsigned int *count) { return nvmlDeviceGetCount_v2(count); }

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *card)
{
    if (index >= count_cards())
        return NVML_ERROR_INVALID_ARGUMENT;
    *card = &cards[index];
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex(unsigned int index, nvmlDevice_t *card)
{
    return nvmlDeviceGetHandleByIndex_v2(index, card);
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *card)
{
    char own[TEXT];
    unsigned int count = count_cards();
    for (unsigned int i = 0; i < count; i++)
        if (card_text(&cards[i], "uuid", own, sizeof own) == NVML_SUCCESS && !strcmp(own, uuid)) {
            *card = &cards[i];
            return NVML_SUCCESS;
        }
    return NVML_ERROR_NOT_FOUND;
}

/* PCI addresses come as 0000:01:00.0 or 00000000:01:00.0: only the part after the domain tells. */
nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *address, nvmlDevice_t *card)
{
    char own[TEXT];
    const char *bus = strchr(address, ':');
    unsigned int count = count_cards();
    for (unsigned int i = 0; bus && i < count; i++)
        if (card_text(&cards[i], "pci_address", own, sizeof own) == NVML_SUCCESS
            && !strcmp(strchr(own, ':'), bus)) {
            *card = &cards[i];
            return NVML_SUCCESS;
        }
    return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId(const char *address, nvmlDevice_t *card)
{
    return nvmlDeviceGetHandleByPciBusId_v2(address, card);
}

nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t card, unsigned int *index)
{
    *index = card->index;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t card, unsigned int *minor)
{
    return nvmlDeviceGetIndex(card, minor);
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t card, char *name, unsigned int length)
{
    return card_text(card, "name", name, length);
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t card, char *uuid, unsigned int length)
{
    return card_text(card, "uuid", uuid, length);
}

nvmlReturn_t nvmlDeviceGetBrand(nvmlDevice_t card, nvmlBrandType_t *brand)
{
    (void)card;
    *brand = NVML_BRAND_GEFORCE;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetArchitecture(nvmlDevice_t card, nvmlDeviceArchitecture_t *architecture)
{
    char name[TEXT];
    nvmlReturn_t result = card_text(card, "name", name, sizeof name);
    *architecture = strstr(name, "RTX 40") ? NVML_DEVICE_ARCH_ADA : NVML_DEVICE_ARCH_AMPERE;
    return result;
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t card, int *major, int *minor)
{
    nvmlDeviceArchitecture_t architecture;
    nvmlReturn_t result = nvmlDeviceGetArchitecture(card, &architecture);
    *major = 8;
    *minor = architecture == NVML_DEVICE_ARCH_ADA ? 9 : 6;
    return result;
}

nvmlReturn_t nvmlDeviceGetVbiosVersion(nvmlDevice_t card, char *version, unsigned int length)
{
    (void)card;
    return copy_out("95.02.18.80.AD", version, length);
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t card, nvmlPciInfo_t *pci)
{
    char address[TEXT], device[TEXT];
    nvmlReturn_t result = card_text(card, "pci_address", address, sizeof address);
    if (result == NVML_SUCCESS)
        result = card_text(card, "pci_device", device, sizeof device);
    if (result != NVML_SUCCESS)
        return result;
    memset(pci, 0, sizeof *pci);
    pci->bus = parse_hexadecimal(strchr(address, ':') + 1);
    pci->pciDeviceId = parse_hexadecimal(device) << 16 | 0x10de;
    /* NVIDIA's own board. */
    pci->pciSubSystemId = 0x16f310de;
    snprintf(pci->busIdLegacy, sizeof pci->busIdLegacy, "%04X:%02X:00.0", pci->domain, pci->bus);
    snprintf(pci->busId, sizeof pci->busId, "%08X:%02X:00.0", pci->domain, pci->bus);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPciInfoExt(nvmlDevice_t card, nvmlPciInfoExt_t *pci)
{
    nvmlPciInfo_t older;
    nvmlReturn_t result = nvmlDeviceGetPciInfo_v3(card, &older);
    if (result != NVML_SUCCESS)
        return result;
    pci->domain = older.domain;
    pci->bus = older.bus;
    pci->device = older.device;
    pci->pciDeviceId = older.pciDeviceId;
    pci->pciSubSystemId = older.pciSubSystemId;
    pci->baseClass = 0x03; /* display controller */
    pci->subClass = 0x00;  /* VGA compatible */
    strcpy(pci->busId, older.busId);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPciInfo_v2(nvmlDevice_t card, nvmlPciInfo_t *pci)
{
    return nvmlDeviceGetPciInfo_v3(card, pci);
}

nvmlReturn_t nvmlDeviceGetPciInfo(nvmlDevice_t card, nvmlPciInfo_t *pci)
{
    return nvmlDeviceGetPciInfo_v3(card, pci);
}

nvmlReturn_t nvmlDeviceGetMaxPcieLinkGeneration(nvmlDevice_t card, unsigned int *generation)
{
    (void)card;
    return give(generation, 4);
}

nvmlReturn_t nvmlDeviceGetGpuMaxPcieLinkGeneration(nvmlDevice_t card, unsigned int *generation)
{
    (void)card;
    return give(generation, 4);
}

nvmlReturn_t nvmlDeviceGetMaxPcieLinkWidth(nvmlDevice_t card, unsigned int *width)
{
    (void)card;
    return give(width, 16);
}

nvmlReturn_t nvmlDeviceGetCurrPcieLinkGeneration(nvmlDevice_t card, unsigned int *generation)
{
    (void)card;
    return give(generation, 1); /* an idle link saves power */
}

nvmlReturn_t nvmlDeviceGetCurrPcieLinkWidth(nvmlDevice_t card, unsigned int *width)
{
    (void)card;
    return give(width, 16);
}
